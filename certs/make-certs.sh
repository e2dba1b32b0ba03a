#!/bin/sh
# Create a CA and a serving certificate for development and tests with openssl 3. Not for production: the CA's key stays
# on disk.
#
#   certs/make-certs.sh DIRECTORY [NAME ...]
#
# NAME: host name or IP address of the webhook. Default: the names of the chart's Service, and localhost.
# Writes ca.crt, ca.key, tls.crt and tls.key to DIRECTORY. Fails if DIRECTORY already contains one of these files.
set -eu

directory=${1:?usage: $0 DIRECTORY [NAME ...]}
shift
if [ $# -eq 0 ]; then
  service=storage-webhook.storage-webhook
  set -- "$service.svc" "$service.svc.cluster.local" localhost 127.0.0.1
fi

umask 077
mkdir -p "$directory"
for file in ca.crt ca.key tls.crt tls.key; do
  if [ -e "$directory/$file" ]; then
    echo "$directory/$file already exists: use another directory, or remove the file" >&2
    exit 1
  fi
done

names=
for name in "$@"; do
  case $name in
    *:*) kind=IP ;;
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  names="$names${names:+,}$kind:$name"
done

for key in ca.key tls.key; do
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$directory/$key"
done
openssl req -x509 -sha256 -days 365 -key "$directory/ca.key" -out "$directory/ca.crt" \
  -subj "/CN=storage-initializer-webhook development CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign,cRLSign"
openssl req -x509 -sha256 -days 90 -key "$directory/tls.key" -out "$directory/tls.crt" \
  -CA "$directory/ca.crt" -CAkey "$directory/ca.key" -subj "/CN=storage-initializer-webhook" \
  -addext "basicConstraints=critical,CA:FALSE" -addext "keyUsage=critical,digitalSignature" \
  -addext "extendedKeyUsage=serverAuth" -addext "subjectAltName=$names"

echo "Wrote ca.crt, ca.key, tls.crt and tls.key to $directory, for $names"

from tests.download.conftest import claim as claim

"""Programs for the developers of this repository; nothing here is shipped."""

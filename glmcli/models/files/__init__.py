"""A checkpoint's files, looked at before anything is built of them."""

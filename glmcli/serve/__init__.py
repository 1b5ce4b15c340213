"""One model for many: other shells, scripts and programs of this machine."""

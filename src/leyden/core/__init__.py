"""What users subclass: module, data module, callback, logger; and the table of hooks."""

"""Small functions and types that programs import from Lightning's ``utilities`` and that Leyden itself does not need."""

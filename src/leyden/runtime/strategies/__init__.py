"""Strategies: how a module is spread over processes and devices."""

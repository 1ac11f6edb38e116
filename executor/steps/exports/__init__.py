"""Runs in formats that others read: one module for each."""

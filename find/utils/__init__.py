"""Devices, files and progress bars."""

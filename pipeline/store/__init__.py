"""Disks and object stores: whole objects by name, behind one class that has every retry."""

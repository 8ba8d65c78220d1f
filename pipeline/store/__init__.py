"""Disks and object stores: whole objects by name, behind one door with every retry."""

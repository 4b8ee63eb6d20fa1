"""The ZigZag backend: layers costed by zigzag-dse, networks by the public scheduler."""

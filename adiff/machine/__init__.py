"""Devices, hosts and disk; read sharding.py first."""

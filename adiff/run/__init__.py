"""From a config to a result; read build.py first."""

"""What the network is; read network.py first."""

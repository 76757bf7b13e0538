"""How noise becomes data; read walk.py first."""

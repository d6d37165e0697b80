"""Environments: what an agent needs installed, made once and shared by all agents and nodes that need the same."""

"""The settings: one frozen tree, built once from defaults < pilothouse.toml < environment < flags."""

from pilothouse.settings.build import Flag, find_file, load_settings
from pilothouse.settings.explain import Explained, explain_settings
from pilothouse.settings.tree import AgentSettings, Settings

__all__ = ["AgentSettings", "Explained", "Flag", "Settings", "explain_settings", "find_file", "load_settings"]

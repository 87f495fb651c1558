"""The version of this package, once."""

VERSION = "0.1.0"

"""The partitioned log: one small protocol, its embedded side, and the Faust transport over it."""

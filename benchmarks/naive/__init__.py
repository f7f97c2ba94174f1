"""The rival: the relay as many would write it with Channels' own means. Nothing in the product uses it."""

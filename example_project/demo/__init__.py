"""`make demo`: the shop with a real server and a real worker, watched until all its jobs have ended."""

//! Benchmarks of SkyLink: everything in one run, side by side, with the load on the same cores.

"""``ndpool bench``: how long pooling takes here, and in the other libraries of this machine.

What is measured is in :mod:`ndpool.bench.cells`: real poolings of known networks and fields, forward, with indices and
backward, maxima put back, NaN left out and boxes. How, in :mod:`ndpool.bench.rounds`:

- One process per library (:mod:`ndpool.bench.worker`), all with the same number of threads on the same processors.
  Turns are interleaved: one library after the other, round after round, so that a noisy moment meets all of them. A
  turn starts when no thread of the last one runs any more.
- Every library's result is checked before it is timed: at sampled places against windows computed one by one in
  float64 (:mod:`ndpool.bench.reference`), and as a whole against ndpool's. What is wrong is not timed but listed.
- Data are random and of a fixed seed. Compiling, building graphs and moving data into a library's own tensors is
  outside the clock. A result is fresh on every call, as the library gives it; ndpool's ``out=`` is listed beside it.
- A figure is the median of its rounds; the least is kept beside it.
- The floor is a copy by as many threads that moves as many bytes into memory that is already there.

:mod:`ndpool.bench.peers` has a module for each library; :mod:`ndpool.bench.record` is what a run leaves,
:mod:`ndpool.bench.report` and :mod:`ndpool.bench.chart` show it. The extra ``ndpool[bench]`` installs what it needs and
the light libraries, ``ndpool[bench-all]`` the heavy ones too; libraries that are not installed are left out.
"""

"""One server as several processes on one machine: `tidemill up --workers N`.

The one that was started (`supervise`) holds the data folder, the listening socket and the counters of limits, and starts the
others (`child`) and starts them again: N workers, which take every connection and answer `/v1/…` themselves, and the keeper,
which owns what there is only one of (the span store, jobs, schedules, the control plane) and to which workers pass on the rest
(`passing`). They speak over `link`. What each part does is elsewhere; here is only how they work together.
"""

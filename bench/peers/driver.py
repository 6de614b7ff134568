"""How a bench talks to a peer: prints one JSON line when ready, then answers each line "run K" on standard input
with one JSON line {"ms": [K times]}; ends with the input. Without --stdin a peer runs once and prints a summary."""
import json
import statistics
import sys
import time


def say(**fields):
    print(json.dumps(fields), flush=True)


def timed(step, count, clock=time.perf_counter):
    times = []
    for _ in range(count):
        start = clock()
        step()
        times.append(1e3 * (clock() - start))
    return times


def serve(step, facts, tokens_per_step, warm_up, count, stdin, clock=time.perf_counter):
    """Warms up, then runs `step` as asked and times it by `clock`. `facts` go into every printed line."""
    start = time.perf_counter()
    timed(step, warm_up)
    facts = dict(facts, tokens_per_step=tokens_per_step)
    if stdin:
        say(ready=True, warm_up_s=round(time.perf_counter() - start, 3), **facts)
        for line in sys.stdin:
            word, number = line.split()
            if word != "run":
                sys.exit(f"expected 'run K', got {line!r}")
            say(ms=timed(step, int(number), clock), **facts)
        return
    p50 = statistics.median(timed(step, count, clock))
    say(ms_p50=p50, tokens_per_second=1e3 * tokens_per_step / p50, steps=count, **facts)

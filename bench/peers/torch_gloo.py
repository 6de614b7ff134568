"""All-reduce of a float32 buffer over processes of this machine through Gloo, as torch.distributed has it: the work of
`bench_comm all_reduce`. Speaks the line protocol of driver.py in the process of rank 0."""
import argparse
import os
import socket
import sys

import torch
import torch.distributed as dist

import driver


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--stdin", action="store_true")
    words = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    rank = 0
    for other in range(1, words.processes):
        if os.fork() == 0:
            rank = other
            break
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) >= words.processes:
        os.sched_setaffinity(0, {cores[rank]})
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=words.processes)
    buffer = torch.zeros(words.bytes // 4)
    order = torch.ones(1)

    def work():
        dist.barrier()
        for _ in range(words.calls):
            dist.all_reduce(buffer)

    if rank == 0:
        def step():
            order.fill_(1)
            dist.all_reduce(order, op=dist.ReduceOp.MAX)
            work()

        facts = {"program": "gloo", "version": torch.__version__}
        driver.serve(step, facts, 0, 2, 5, words.stdin)
        order.fill_(0)
        dist.all_reduce(order, op=dist.ReduceOp.MAX)
    else:
        while True:
            order.fill_(0)
            dist.all_reduce(order, op=dist.ReduceOp.MAX)
            if order.item() == 0:
                break
            work()
    sys.stdout.flush()
    os._exit(0)


main()

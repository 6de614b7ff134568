// Items through three stages: read one by one in order, worked on at once by all threads, written one by one in the
// order of reading. Reading and writing have a thread of their own each, which mostly wait for a disk. What is written
// does not depend on the number of threads; memory is bounded by the number of slots.
#pragma once

#include "base/thread_pool.h"

namespace trireme {

/// Calls read(slot) until it returns false, work(slot, thread) for each item read, then write(slot). No two reads and
/// no two writes run at once; a slot, below num_slots, belongs to one item from its read to its write. Returns when all
/// is written; the exception of the first item that has one is rethrown, after those before it were written.
void ordered_work(ThreadPool& pool, int num_slots, FunctionRef<bool(int)> read, FunctionRef<void(int, int)> work,
                  FunctionRef<void(int)> write);

}  // namespace trireme

/* A thread of a block: a stack of its own, switched to by the scheduler and back, never from fiber
 * to fiber. Between two runs a fiber may move to another OS thread. */
#pragma once
#include <cstddef>
#include <vector>

#if !defined __x86_64__
#  include <ucontext.h>
#endif

struct Fiber {
#if defined __x86_64__
  void *stack_pointer;
#else
  ucontext_t context;
#endif
  void *stack; /* lowest usable address */
  size_t stack_bytes;
  void *asan_fake_stack;
  void *tsan;
  Fiber *scheduler;
  void (*run) (void *data);
  void *data;
};

/* The calling OS thread as a place to come back to. */
void fiber_init_scheduler (Fiber *scheduler);
/* Runs until the fiber suspends itself or `run` returns; a later resume then calls `run` again. */
void fiber_resume (Fiber *scheduler, Fiber *fiber);
void fiber_suspend (Fiber *fiber);

/* Borrowed from a pool that lives until the program ends: making a fiber costs a mapping. */
std::vector<Fiber *> fiber_pool_take (size_t n);
void fiber_pool_give (const std::vector<Fiber *> &fibers);

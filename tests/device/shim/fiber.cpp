#include "tests/device/shim/fiber.h"

#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>

#include "tests/device/fake/lock.h"
#include "tests/device/shim/sanitizers.h"

static const size_t guard_bytes = 4096, stack_bytes = 1 << 16;
/* ThreadSanitizer knows 8128 threads at most. A grid that finds no fibers waits for another's end:
 * that always comes, as a kernel waits for nothing outside itself. */
static const size_t fibers_max = 4096;

/* Set by resume for the first entry into a fiber, which gets no argument. */
static thread_local Fiber *starting;

#if defined __x86_64__
extern "C" void pw_shim_switch (void **save, void *to);
/* Only the registers that the calling convention makes the callee keep. */
asm(".text\n"
    ".globl pw_shim_switch\n"
    ".hidden pw_shim_switch\n"
    ".type pw_shim_switch,@function\n"
    "pw_shim_switch:\n"
    "  pushq %rbp\n"
    "  pushq %rbx\n"
    "  pushq %r12\n"
    "  pushq %r13\n"
    "  pushq %r14\n"
    "  pushq %r15\n"
    "  movq %rsp,(%rdi)\n"
    "  movq %rsi,%rsp\n"
    "  popq %r15\n"
    "  popq %r14\n"
    "  popq %r13\n"
    "  popq %r12\n"
    "  popq %rbx\n"
    "  popq %rbp\n"
    "  ret\n"
    ".size pw_shim_switch,.-pw_shim_switch\n");
#endif

static void
switch_context (Fiber *from, Fiber *to) {
  if (__sanitizer_start_switch_fiber)
    __sanitizer_start_switch_fiber (&from->asan_fake_stack, to->stack, to->stack_bytes);
  if (__tsan_switch_to_fiber)
    __tsan_switch_to_fiber (to->tsan, 1); /* 1: the switch itself orders nothing */
#if defined __x86_64__
  pw_shim_switch (&from->stack_pointer, to->stack_pointer);
#else
  swapcontext (&from->context, &to->context);
#endif
}

/* On arrival in a fiber: whence we came is the scheduler, whose bounds only the sanitizer knows. */
static void
arrive_in_fiber (Fiber *fiber, void *fake_stack) {
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber (fake_stack, (const void **)&fiber->scheduler->stack,
                                     &fiber->scheduler->stack_bytes);
}

extern "C" __attribute__ ((noreturn)) void
pw_shim_fiber_entry () {
  Fiber *fiber = starting;
  arrive_in_fiber (fiber, nullptr);
  for (;;) {
    fiber->run (fiber->data);
    fiber_suspend (fiber);
  }
}

void
fiber_resume (Fiber *scheduler, Fiber *fiber) {
  starting = fiber;
  fiber->scheduler = scheduler;
  switch_context (scheduler, fiber);
  if (__sanitizer_finish_switch_fiber)
    __sanitizer_finish_switch_fiber (scheduler->asan_fake_stack, nullptr, nullptr);
}

void
fiber_suspend (Fiber *fiber) {
  switch_context (fiber, fiber->scheduler);
  arrive_in_fiber (fiber, fiber->asan_fake_stack);
}

void
fiber_init_scheduler (Fiber *scheduler) {
  *scheduler = {};
  if (__tsan_get_current_fiber)
    scheduler->tsan = __tsan_get_current_fiber ();
}

static void
prepare_stack (Fiber *fiber) {
#if defined __x86_64__
  void **top = (void **)((char *)fiber->stack + fiber->stack_bytes);
  *--top = nullptr; /* the entry's return address, and the alignment of a called function */
  *--top = (void *)pw_shim_fiber_entry;
  for (int i = 0; i < 6; i++)
    *--top = nullptr;
  fiber->stack_pointer = top;
#else
  getcontext (&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack;
  fiber->context.uc_stack.ss_size = fiber->stack_bytes;
  makecontext (&fiber->context, pw_shim_fiber_entry, 0);
#endif
}

static Fiber *
fiber_new () {
  Fiber *fiber = new Fiber ();
  char *map = (char *)mmap (nullptr, guard_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED || mprotect (map, guard_bytes, PROT_NONE)) {
    perror ("cuda-on-cpu: a fiber's stack");
    abort ();
  }
  fiber->stack = map + guard_bytes;
  fiber->stack_bytes = stack_bytes;
  if (__tsan_create_fiber)
    fiber->tsan = __tsan_create_fiber (0);
  prepare_stack (fiber);
  return fiber;
}

namespace {
/* A stream's thread may still run when the program ends; then its fibers are not in the pool and
 * their memory stays. */
struct Pool {
  SpinLock lock;
  std::vector<Fiber *> idle;
  size_t n_made = 0;
  ~Pool () {
    for (Fiber *fiber : idle) {
      if (__tsan_destroy_fiber)
        __tsan_destroy_fiber (fiber->tsan);
      munmap ((char *)fiber->stack - guard_bytes, guard_bytes + fiber->stack_bytes);
      delete fiber;
    }
  }
} pool;
} // namespace

/* N fibers, of which the idle ones come first and the rest, NULL, are to be made; or none. */
static std::vector<Fiber *>
reserve (size_t n) {
  SpinGuard guard (pool.lock);
  const size_t n_idle = pool.idle.size () < n ? pool.idle.size () : n;
  if (pool.n_made + n - n_idle > fibers_max)
    return {};
  std::vector<Fiber *> taken (pool.idle.end () - (long)n_idle, pool.idle.end ());
  pool.idle.resize (pool.idle.size () - n_idle);
  pool.n_made += n - n_idle;
  taken.resize (n);
  return taken;
}

std::vector<Fiber *>
fiber_pool_take (size_t n) {
  sanitizers::Hidden hidden;
  std::vector<Fiber *> taken = reserve (n);
  while (taken.empty ()) {
    sched_yield ();
    taken = reserve (n);
  }
  for (Fiber *&fiber : taken)
    if (!fiber)
      fiber = fiber_new ();
  return taken;
}

void
fiber_pool_give (const std::vector<Fiber *> &fibers) {
  sanitizers::Hidden hidden;
  SpinGuard guard (pool.lock);
  pool.idle.insert (pool.idle.end (), fibers.begin (), fibers.end ());
}

/* Settings and injected faults of the runtime. */
#include <cstdlib>

#include "tests/device/fake/runtime_private.h"

static const char *
from_environment (const char *name, const char *otherwise) {
  const char *value = getenv (name);
  return value && *value ? value : otherwise;
}

Settings &
settings () {
  static Settings all = {
    { strtoull (from_environment ("CUDA_ON_CPU_SEED", "0"), nullptr, 0) },
    { (unsigned)atoi (from_environment ("CUDA_ON_CPU_DELAY_US", "0")) },
    { atoi (from_environment ("CUDA_ON_CPU_DEVICES", "2")) },
    { strtoull (from_environment ("CUDA_ON_CPU_MEMORY", "8589934592"), nullptr, 0) },
    { atof (from_environment ("CUDA_ON_CPU_HANG_S", "30")) },
  };
  return all;
}

void
pw_fake_set_seed (uint64_t seed) {
  settings ().seed = seed;
}

void
pw_fake_set_delay_us (unsigned microseconds) {
  settings ().delay_us = microseconds;
}

void
pw_fake_set_devices (int count) {
  settings ().devices = count < PW_FAKE_DEVICES_MAX ? count : PW_FAKE_DEVICES_MAX;
}

void
pw_fake_set_memory (size_t bytes_per_device) {
  settings ().memory_bytes = bytes_per_device;
}

void
pw_fake_set_hang_s (double seconds) {
  settings ().hang_s = seconds;
}

double
pw__fake_hang_s () {
  return settings ().hang_s;
}

bool
countdown (std::atomic<long> &n) {
  long left = n;
  while (left > 0)
    if (n.compare_exchange_weak (left, left - 1))
      return left == 1;
  return false;
}

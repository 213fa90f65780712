/* A sanitizer judges accesses to memory and the order of threads, not values, and takes three to
 * ten times as long. Where repeats differ in values alone (further draws, further steps of
 * training), fewer are made under it; the release build makes them all. */
#pragma once

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#  define TEST_REPEATS(all, under_sanitizers) (under_sanitizers)
#else
#  define TEST_REPEATS(all, under_sanitizers) (all)
#endif

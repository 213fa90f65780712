/* Atomic functions, by the compiler's built-ins, so that ThreadSanitizer knows them: they order
 * nothing else, and a plain access beside them is a race. */
#pragma once
#include <string.h>
#include <type_traits>

namespace pw_shim {

template <size_t bytes> struct Word;
template <> struct Word<2> { typedef unsigned short type; };
template <> struct Word<4> { typedef unsigned type; };
template <> struct Word<8> { typedef unsigned long long type; };
template <class T> struct Same { typedef T type; };

/* Returns the old value. */
template <class T, class Change>
static inline T
atomic_change (T *address, Change change) {
  typedef typename Word<sizeof (T)>::type Bits;
  Bits old_bits = __atomic_load_n ((Bits *)address, __ATOMIC_RELAXED), new_bits;
  T old_value, new_value;
  do {
    memcpy ((void *)&old_value, &old_bits, sizeof old_value);
    new_value = change (old_value);
    memcpy (&new_bits, (const void *)&new_value, sizeof new_bits);
  } while (!__atomic_compare_exchange_n ((Bits *)address, &old_bits, new_bits, false,
                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return old_value;
}

} // namespace pw_shim

#define PW_SHIM_ATOMIC(name, expression)                                                           \
  template <class T> static inline T name (T *address, typename pw_shim::Same<T>::type v) {        \
    return pw_shim::atomic_change (address, [=] (T old) { return (T)(expression); });              \
  }
PW_SHIM_ATOMIC (atomicAdd, old + v)
PW_SHIM_ATOMIC (atomicSub, old - v)
PW_SHIM_ATOMIC (atomicMax, old > v ? old : v)
PW_SHIM_ATOMIC (atomicMin, old < v ? old : v)
PW_SHIM_ATOMIC (atomicAnd, old &v)
PW_SHIM_ATOMIC (atomicOr, old | v)
PW_SHIM_ATOMIC (atomicXor, old ^ v)
PW_SHIM_ATOMIC (atomicInc, old >= v ? 0 : old + 1)
#undef PW_SHIM_ATOMIC

template <class T>
static inline T
atomicExch (T *address, typename pw_shim::Same<T>::type v) {
  return pw_shim::atomic_change (address, [=] (T) { return v; });
}

template <class T>
static inline T
atomicCAS (T *address, typename pw_shim::Same<T>::type expected,
           typename pw_shim::Same<T>::type v) {
  return pw_shim::atomic_change (address, [=] (T old) { return old == expected ? v : old; });
}

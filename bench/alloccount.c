// LD_PRELOAD shim that counts heap calls and bytes of a process. SIGUSR1 prints the totals to stderr.
// build: gcc -O2 -shared -fPIC -o target/bench/run/alloccount.so bench/alloccount.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static atomic_ulong n_alloc, n_realloc, bytes;
void *malloc(size_t n) { atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed); atomic_fetch_add_explicit(&bytes, n, memory_order_relaxed); return __libc_malloc(n); }
void *calloc(size_t a, size_t b) { atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed); atomic_fetch_add_explicit(&bytes, a * b, memory_order_relaxed); return __libc_calloc(a, b); }
void *realloc(void *p, size_t n) { atomic_fetch_add_explicit(&n_realloc, 1, memory_order_relaxed); atomic_fetch_add_explicit(&bytes, n, memory_order_relaxed); return __libc_realloc(p, n); }
int posix_memalign(void **p, size_t a, size_t n) { atomic_fetch_add_explicit(&n_alloc, 1, memory_order_relaxed); atomic_fetch_add_explicit(&bytes, n, memory_order_relaxed); *p = __libc_memalign(a, n); return *p ? 0 : 12; }
static void dump(int s) {
    (void)s;
    char b[128];
    int n = snprintf(b, sizeof b, "ALLOC %lu %lu %lu\n", atomic_load(&n_alloc), atomic_load(&n_realloc), atomic_load(&bytes));
    if (write(2, b, n)) {}
}
__attribute__((constructor)) static void init(void) { signal(SIGUSR1, dump); }

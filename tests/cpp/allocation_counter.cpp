// The linker turns the calls of malloc and its kin in this program into calls of the wrappers below
// (--wrap); operator new of the C++ library calls malloc behind their back and is replaced. A file
// of its own: inlined into a caller, the pair looks mismatched to GCC.
#include "allocation_counter.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> n_allocations{0};

void* count_new(void* memory) {
    ++n_allocations;
    if (!memory) throw std::bad_alloc();
    return memory;
}

}  // namespace

extern "C" {
void* __real_malloc(std::size_t n_bytes);
void* __real_calloc(std::size_t n, std::size_t n_bytes);
void* __real_realloc(void* memory, std::size_t n_bytes);
void* __real_aligned_alloc(std::size_t alignment, std::size_t n_bytes);
int __real_posix_memalign(void** memory, std::size_t alignment, std::size_t n_bytes);

void* __wrap_malloc(std::size_t n_bytes) {
    ++n_allocations;
    return __real_malloc(n_bytes);
}
void* __wrap_calloc(std::size_t n, std::size_t n_bytes) {
    ++n_allocations;
    return __real_calloc(n, n_bytes);
}
void* __wrap_realloc(void* memory, std::size_t n_bytes) {
    ++n_allocations;
    return __real_realloc(memory, n_bytes);
}
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t n_bytes) {
    ++n_allocations;
    return __real_aligned_alloc(alignment, n_bytes);
}
int __wrap_posix_memalign(void** memory, std::size_t alignment, std::size_t n_bytes) {
    ++n_allocations;
    return __real_posix_memalign(memory, alignment, n_bytes);
}
}

// The array and nothrow forms come down to these.
void* operator new(std::size_t n_bytes) {
    return count_new(__real_malloc(n_bytes > 0 ? n_bytes : 1));
}
void* operator new(std::size_t n_bytes, std::align_val_t alignment) {
    const auto a = static_cast<std::size_t>(alignment);
    return count_new(__real_aligned_alloc(a, (n_bytes + a - 1) / a * a));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

std::int64_t relaxon::allocations_so_far() { return n_allocations; }

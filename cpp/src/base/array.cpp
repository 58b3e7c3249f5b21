#include "relaxon/base/array.hpp"

#include <algorithm>
#include <cstring>
#include <fstream>

#include "relaxon/base/error.hpp"

#ifdef _WIN32
#define NOMINMAX
#include <windows.h>
#else
#include <unistd.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace relaxon {

namespace {

constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
constexpr std::int64_t kLarge = 16 * kHugePage;

// What the machine has, or the container is allowed.
std::int64_t machine_bytes() {
#ifdef _WIN32
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof status;
    GlobalMemoryStatusEx(&status);
    return static_cast<std::int64_t>(status.ullTotalPhys);
#else
    std::int64_t bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) *
                         static_cast<std::int64_t>(sysconf(_SC_PAGESIZE));
    for (const char* path :
         {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
        std::int64_t limit = 0;
        if (std::ifstream(path) >> limit && limit > 0) bytes = std::min(bytes, limit);
    }
    return bytes;
#endif
}

}  // namespace

Block::Block(std::int64_t n_bytes) {
    const auto size = static_cast<std::size_t>(round_up(n_bytes > 0 ? n_bytes : 1, kAlignment));
    if (n_bytes >= kLarge && n_bytes > machine_bytes()) {
        throw MemoryShortage(n_bytes, machine_bytes());
    }
#ifdef __linux__
    if (n_bytes >= kLarge) {
        void* mapped =
            mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) throw std::bad_alloc();
        madvise(mapped, size, MADV_HUGEPAGE);
        data_ = {static_cast<std::byte*>(mapped), detail::FreeBlock{size}};
        is_zeroed_ = true;
    }
#endif
    if (!data_) {
        data_.reset(static_cast<std::byte*>(::operator new (size, std::align_val_t{kAlignment})));
    }
#ifndef NDEBUG
    // What no one has written is no number: a sum that reads it shows.
    std::memset(data_.get(), 0xff, size);
    is_zeroed_ = false;
#endif
}

void detail::FreeBlock::operator()(std::byte* p) const {
#ifdef __linux__
    if (mapped_bytes > 0) {
        munmap(p, mapped_bytes);
        return;
    }
#endif
    ::operator delete (p, std::align_val_t{kAlignment});
}

}  // namespace relaxon

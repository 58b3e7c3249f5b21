#include "relaxon/array.hpp"

#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace relaxon {

namespace {

constexpr std::int64_t kHugePage = std::int64_t{2} << 20;
constexpr std::int64_t kLarge = 16 * kHugePage;

}  // namespace

Block::Block(std::int64_t n_bytes) {
    const auto size = static_cast<std::size_t>(round_up(n_bytes > 0 ? n_bytes : 1, kAlignment));
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
        data_.reset(static_cast<std::byte*>(
            std::aligned_alloc(static_cast<std::size_t>(kAlignment), size)));
    }
    if (!data_) throw std::bad_alloc();
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
    std::free(p);
}

}  // namespace relaxon

// Memory of a sweep: one aligned block, measured first and carved up second by the same code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace relaxon {

constexpr std::int64_t kAlignment = 64;

inline std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// Hands out aligned pieces of a block. Without a block it only counts, so that a plan states
// exactly the bytes that the sweep will take.
class Arena {
public:
    Arena() = default;
    explicit Arena(std::byte* base) : base_(base) {}

    template <class T>
    T* take(std::int64_t n) {
        T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
        used_ += round_up(n * static_cast<std::int64_t>(sizeof(T)), kAlignment);
        return piece;
    }

    // The same, set to zero.
    template <class T>
    T* take_zeroed(std::int64_t n) {
        T* piece = take<T>(n);
        if (piece) {
            for (std::int64_t i = 0; i < n; ++i) new (piece + i) T{};
        }
        return piece;
    }

    bool is_measuring() const { return base_ == nullptr; }
    std::int64_t used_bytes() const { return used_; }

private:
    std::byte* base_ = nullptr;
    std::int64_t used_ = 0;
};

// Owner of one aligned block. Large ones ask for huge pages: a sweep touches every page once, and
// page faults took a sixth of the processor time of a gradient of 10^6 cells and 100 layers. What
// that rounds up stays below a part in sixteen.
class Block {
public:
    Block() = default;
    explicit Block(std::int64_t n_bytes) {
        const bool is_large = n_bytes >= 16 * kHugePage;
        const std::int64_t alignment = is_large ? kHugePage : kAlignment;
        const std::int64_t size = round_up(n_bytes > 0 ? n_bytes : 1, alignment);
        data_.reset(static_cast<std::byte*>(std::aligned_alloc(static_cast<std::size_t>(alignment),
                                                               static_cast<std::size_t>(size))));
        if (!data_) throw std::bad_alloc();
#ifdef __linux__
        if (is_large) madvise(data_.get(), static_cast<std::size_t>(size), MADV_HUGEPAGE);
#endif
    }

    std::byte* data() { return data_.get(); }

private:
    static constexpr std::int64_t kHugePage = std::int64_t{2} << 20;

    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

}  // namespace relaxon

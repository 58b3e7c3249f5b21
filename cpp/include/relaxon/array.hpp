// Memory of a sweep: one aligned block, measured first and carved up second by the same code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

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

// Owner of one aligned block.
class Block {
public:
    Block() = default;
    explicit Block(std::int64_t n_bytes)
        : data_(static_cast<std::byte*>(
              std::aligned_alloc(kAlignment, round_up(n_bytes > 0 ? n_bytes : 1, kAlignment)))) {
        if (!data_) throw std::bad_alloc();
    }

    std::byte* data() { return data_.get(); }

private:
    struct Free {
        void operator()(std::byte* p) const { std::free(p); }
    };
    std::unique_ptr<std::byte, Free> data_;
};

}  // namespace relaxon

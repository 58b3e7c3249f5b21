// Memory of a sweep: one aligned block, measured first and carved up second by the same code; and
// views of the fields of several samples in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>

namespace relaxon {

constexpr std::int64_t kAlignment = 64;
// Entries of a cache line in the narrower precision.
constexpr std::int64_t kAlignedEntries = 16;

inline std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// Fields of a few samples that go through a pass together ("bundle"), one behind the other. A
// pointer stands for the field of one sample.
template <class T>
class Fields {
public:
    Fields() = default;
    Fields(T* first, std::int64_t stride = 0) : first_(first), stride_(stride) {}
    template <class U, class = std::enable_if_t<std::is_same<const U, T>::value>>
    Fields(const Fields<U>& other) : first_(other[0]), stride_(other.stride()) {}

    T* operator[](int sample) const { return first_ + sample * stride_; }
    std::int64_t stride() const { return stride_; }
    explicit operator bool() const { return first_ != nullptr; }
    // The fields from sample number `sample` on.
    Fields from(int sample) const { return {(*this)[sample], stride_}; }

private:
    T* first_ = nullptr;
    std::int64_t stride_ = 0;
};

namespace detail {

template <class T>
struct Same {
    using type = T;
};

struct FreeBlock {
    std::size_t mapped_bytes = 0;  // 0: the block was allocated
    void operator()(std::byte* p) const;
};

}  // namespace detail

// As arguments, which take pointers and writable fields too.
template <class T>
using ReadFields = Fields<const typename detail::Same<T>::type>;
template <class T>
using WriteFields = Fields<typename detail::Same<T>::type>;

// Owner of one aligned block. Large ones are mapped, which gives zeros that no one had to write (so
// that every worker is the first to touch what it works on) and huge pages: a sweep touches every
// page once, and page faults took a sixth of the processor time of a gradient of 10^6 cells and 100
// layers. What that rounds up stays below a part in sixteen. Debug builds fill blocks with NaN.
class Block {
public:
    Block() = default;
    explicit Block(std::int64_t n_bytes);

    std::byte* data() { return data_.get(); }
    bool is_zeroed() const { return is_zeroed_; }

private:
    std::unique_ptr<std::byte, detail::FreeBlock> data_;
    bool is_zeroed_ = false;
};

// Hands out aligned pieces of a block. Without a block it only counts, so that a plan states
// exactly the bytes that the sweep will take.
class Arena {
public:
    Arena() = default;
    explicit Arena(Block& fresh) : base_(fresh.data()), is_zeroed_(fresh.is_zeroed()) {}

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
        if (piece && !is_zeroed_) {
            for (std::int64_t i = 0; i < n; ++i) new (piece + i) T{};
        }
        return piece;
    }

    bool is_measuring() const { return base_ == nullptr; }
    std::int64_t used_bytes() const { return used_; }

private:
    std::byte* base_ = nullptr;
    bool is_zeroed_ = false;
    std::int64_t used_ = 0;
};

}  // namespace relaxon

// What the stencil passes share: kernels for the arms and samples that come often, and lines whose
// entries are loaded once.
#pragma once

#include <cstdint>
#include <type_traits>

#include "relaxon/base/simd.hpp"
#include "relaxon/operators/stencil/kernels.hpp"

namespace relaxon {

// NArms: arms known at compile time (the stencils of ADR in one and two dimensions), whose pointers
// then stay in registers; 0: any number.
template <int NArms>
constexpr int kPlaces = NArms > 0 ? NArms : 1;

// Entries of a line with their neighbours, pack after pack: each is loaded once, where loads of
// shifted packs would cross cache lines.
template <class T>
class LineWindow {
public:
    LineWindow() = default;
    explicit LineWindow(const T* line)
        : next_(line + kPackWidth<T>), before_(load(line - kPackWidth<T>)), here_(load(line)) {}

    [[gnu::always_inline]] void load_next() { after_ = load(next_); }
    [[gnu::always_inline]] Pack<T> operator[](int offset) const {
        if (offset < 0) return pack_before<T>(before_, here_);
        return offset > 0 ? pack_after<T>(here_, after_) : here_;
    }
    [[gnu::always_inline]] void step() {
        before_ = here_;
        here_ = after_;
        next_ += kPackWidth<T>;
    }

private:
    const T* next_ = nullptr;
    Pack<T> before_, here_, after_;
};

template <int N>
using Constant = std::integral_constant<int, N>;

// f(first, Constant<size>) for groups of samples that have a kernel of their own.
template <class F>
void for_each_group(int n_fields, const F& f) {
    int first = 0;
    for (; first + 4 <= n_fields; first += 4) f(first, Constant<4>());
    for (; first + 2 <= n_fields; first += 2) f(first, Constant<2>());
    if (first < n_fields) f(first, Constant<1>());
}

template <class F>
void with_arms(int n_arms, const F& f) {
    switch (n_arms) {
    case 3:
        return f(Constant<3>());
    case 9:
        return f(Constant<9>());
    default:
        return f(Constant<0>());
    }
}

// What a cut arm of the cell at `flat` sees.
template <class T>
T seen_by_cut(const StencilGeometry& geometry, const T* z, std::int64_t flat) {
    return geometry.cut_sees_centre() ? z[flat] : static_cast<T>(geometry.cut_value());
}

}  // namespace relaxon

// A coefficient of a layer as the kernels read it: absent (null), one value, or a padded field.
#pragma once

#include <cstdint>

#include "relaxon/base/simd.hpp"

namespace relaxon {

template <class T>
struct Coefficient {
    const T* data = nullptr;
    bool is_local = false;
};

// The coefficient, which is not absent, at a pack of the padded layout.
template <class T>
[[gnu::always_inline]] inline Pack<T> at(const Coefficient<T>& coefficient, std::int64_t flat) {
    return coefficient.is_local ? load(coefficient.data + flat) : broadcast(coefficient.data[0]);
}

}  // namespace relaxon

// Vector packs on the vector extension of GCC and clang: one source for every instruction set.
//
// A pack is as wide as the widest register the file is compiled for. Packs of 64 bytes, split by
// the compiler, make the activations of x86-64-v2 and v3 between 1.4 and 20 times slower with GCC
// 12, which lowers comparisons of such packs lane by lane, and up to 1.4 times faster with clang 14
// (EPYC 9004, November 2026).
//
// Remainders of a range take the same code as its interior, on packs loaded and stored in part, so
// a result never depends on where in a range its element lies. Products are written a * b + c and
// contract to one fused operation where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

namespace relaxon {

#if defined(__AVX512F__)
constexpr std::size_t kPackBytes = 64;
#elif defined(__AVX__)
constexpr std::size_t kPackBytes = 32;
#else
constexpr std::size_t kPackBytes = 16;
#endif

template <class T>
struct PackTypes;

template <>
struct PackTypes<float> {
    typedef float Real __attribute__((vector_size(kPackBytes)));
    typedef std::int32_t Signed __attribute__((vector_size(kPackBytes)));
    typedef std::uint32_t Unsigned __attribute__((vector_size(kPackBytes)));
};

template <>
struct PackTypes<double> {
    typedef double Real __attribute__((vector_size(kPackBytes)));
    typedef std::int64_t Signed __attribute__((vector_size(kPackBytes)));
    typedef std::uint64_t Unsigned __attribute__((vector_size(kPackBytes)));
};

// Lanes of T; arithmetic and comparisons act on each lane.
template <class T>
using Pack = typename PackTypes<T>::Real;
// What a comparison of packs gives: -1 where it holds, else 0.
template <class T>
using Mask = typename PackTypes<T>::Signed;
// Lanes as bit patterns; unsigned, so that shifts and overflow are defined.
template <class T>
using BitPack = typename PackTypes<T>::Unsigned;

template <class T>
constexpr std::size_t kPackWidth = kPackBytes / sizeof(T);

template <class V>
using Lane = std::remove_cv_t<std::remove_reference_t<decltype(std::declval<V&>()[0])>>;

namespace detail {

template <class V, class = void>
struct IsPack : std::false_type {};

template <class V>
struct IsPack<V, std::void_t<typename PackTypes<Lane<V>>::Real>> : std::is_same<V, Pack<Lane<V>>> {
};

}  // namespace detail

// Keeps the functions of packs below out of overload resolution for numbers.
template <class V>
using IfPack = std::enable_if_t<detail::IsPack<V>::value, int>;

template <class T>
[[gnu::always_inline]] inline Pack<T> load(const T* from) {
    Pack<T> pack;
    std::memcpy(&pack, from, sizeof pack);
    return pack;
}

// The first n lanes, 0 < n <= kPackWidth<T>, the others 0; nothing beyond them is read.
template <class T>
[[gnu::always_inline]] inline Pack<T> load_partial(const T* from, std::size_t n) {
    if (n == kPackWidth<T>) return load(from);
    Pack<T> pack = {};
    std::memcpy(&pack, from, n * sizeof(T));
    return pack;
}

template <class T>
[[gnu::always_inline]] inline void store(T* to, Pack<T> pack) {
    std::memcpy(to, &pack, sizeof pack);
}

// The first n lanes, 0 < n <= kPackWidth<T>; nothing beyond them is written.
template <class T>
[[gnu::always_inline]] inline void store_partial(T* to, Pack<T> pack, std::size_t n) {
    if (n == kPackWidth<T>) {
        store(to, pack);
        return;
    }
    std::memcpy(to, &pack, n * sizeof(T));
}

// The first `rest` lanes, or all where there are more left.
template <class T>
[[gnu::always_inline]] inline Pack<T> load_up_to(const T* from, std::int64_t rest) {
    const auto width = static_cast<std::int64_t>(kPackWidth<T>);
    return rest >= width ? load(from) : load_partial(from, static_cast<std::size_t>(rest));
}

template <class T>
[[gnu::always_inline]] inline void store_up_to(T* to, Pack<T> pack, std::int64_t rest) {
    if (rest >= static_cast<std::int64_t>(kPackWidth<T>)) {
        store(to, pack);
    } else {
        store_partial(to, pack, static_cast<std::size_t>(rest));
    }
}

// A difference, because adding a zero would turn -0 into 0.
template <class T>
[[gnu::always_inline]] inline Pack<T> broadcast(T value) {
    return value - Pack<T>{};
}

namespace detail {

template <class T, int first, std::size_t... lane>
[[gnu::always_inline]] inline Pack<T> window(Pack<T> low, Pack<T> high,
                                             std::index_sequence<lane...>) {
    return __builtin_shufflevector(low, high, static_cast<int>(lane) + first...);
}

}  // namespace detail

// Of two packs that follow each other: the pack that begins one lane before `high`, and the one
// that begins one lane after `low`.
template <class T>
[[gnu::always_inline]] inline Pack<T> pack_before(Pack<T> low, Pack<T> high) {
    constexpr int width = kPackWidth<T>;
    return detail::window<T, width - 1>(low, high, std::make_index_sequence<kPackWidth<T>>());
}

template <class T>
[[gnu::always_inline]] inline Pack<T> pack_after(Pack<T> low, Pack<T> high) {
    return detail::window<T, 1>(low, high, std::make_index_sequence<kPackWidth<T>>());
}

// The same bits, read as To.
template <class To, class From>
[[gnu::always_inline]] inline To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline V select(Mask<Lane<V>> where, V a, V b) {
    return where ? a : b;
}

// Whether any lane of a comparison holds.
template <class M>
[[gnu::always_inline]] inline bool any(M mask) {
    Lane<M> found = 0;
    for (std::size_t lane = 0; lane < sizeof(M) / sizeof(Lane<M>); ++lane) found |= mask[lane];
    return found != 0;
}

// The second operand where either is NaN, as the processors' own instructions do it: clamp by
// max(limit, x) to let NaN through.
template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline V min(V a, V b) {
    return a < b ? a : b;
}

template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline V max(V a, V b) {
    return a > b ? a : b;
}

template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline BitPack<Lane<V>> sign_bits(V x) {
    using Bits = BitPack<Lane<V>>;
    return bit_cast<Bits>(x) & bit_cast<Bits>(broadcast(-Lane<V>(0)));
}

template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline V abs(V x) {
    return bit_cast<V>(bit_cast<BitPack<Lane<V>>>(x) ^ sign_bits(x));
}

// Halves are folded onto each other: lane 0 + lane width / 2, and so on.
template <class V, IfPack<V> = 0>
[[gnu::always_inline]] inline Lane<V> horizontal_sum(V pack) {
    for (std::size_t half = kPackWidth<Lane<V>> / 2; half > 0; half /= 2) {
        for (std::size_t lane = 0; lane < half; ++lane) pack[lane] += pack[lane + half];
    }
    return pack[0];
}

// body(offset, count) for the packs of a range of n: count is kPackWidth<T> but for the last, where
// it may be less. A body that is forced inline costs full packs no test of count.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_pack(std::size_t n, const Body& body) {
    constexpr std::size_t width = kPackWidth<T>;
    std::size_t offset = 0;
    for (; offset + width <= n; offset += width) body(offset, width);
    if (offset < n) body(offset, n - offset);
}

}  // namespace relaxon

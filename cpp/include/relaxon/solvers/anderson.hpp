// Anderson's mixing, type II, for g(z) = z - w F(z): the next iterate is g less the combination of
// the last five changes of g whose changes of g - z come nearest to what g - z is now.
//
// H. F. Walker, P. Ni, SIAM J. Numer. Anal. 49 (2011) 1715-1735. Columns are dropped, the oldest
// first, until the condition of the triangular factor allows; a residual ten times the least so far
// starts anew, and without progress over ten steps five are plain ones.
#pragma once

#include <cstdint>
#include <limits>

namespace relaxon {

template <class T>
class AndersonMixing {
public:
    static constexpr std::int64_t kColumns = 5;
    // Numbers of its memory.
    static std::int64_t size(std::int64_t n) { return (3 * kColumns + 2) * n; }

    AndersonMixing(T* memory, std::int64_t n, T rate) : memory_(memory), n_(n), rate_(rate) {}

    // The next iterate in the place of z, given F(z) and its largest entry.
    void advance(T* z, const T* out, double residual);

private:
    T* change_of_image(std::int64_t k) const { return memory_ + k * n_; }
    T* change_of_step(std::int64_t k) const { return memory_ + (kColumns + k) * n_; }
    T* image() const { return memory_ + 2 * kColumns * n_; }
    T* step() const { return memory_ + (2 * kColumns + 1) * n_; }
    T* orthogonal(std::int64_t k) const { return memory_ + (2 * kColumns + 2 + k) * n_; }
    double product(const T* a, const T* b) const;
    void subtract(double factor, const T* a, T* from) const;
    void watch(double residual);
    void mix(T* z) const;

    T* memory_;
    std::int64_t n_;
    T rate_;
    std::int64_t n_steps_ = 0;    // since the history was emptied
    std::int64_t n_columns_ = 0;  // of it, the last at (n_steps_ - 2) % kColumns
    std::int64_t n_watched_ = 0, n_plain_ = 0;
    double least_ = std::numeric_limits<double>::infinity();
    double watched_ = std::numeric_limits<double>::infinity();
};

}  // namespace relaxon

// Sums whose bits depend on the order of their terms alone, and whose rounding error does not
// grow with their number: Neumaier's compensated summation (ZAMM 54 (1974) 39-51) in double.
#pragma once

#include <cmath>

namespace relaxon {

class OrderedSum {
public:
    void add(double term) {
        const double next = high_ + term;
        low_ += std::abs(high_) >= std::abs(term) ? (high_ - next) + term : (term - next) + high_;
        high_ = next;
    }

    void add(const OrderedSum& other) {
        add(other.high_);
        add(other.low_);
    }

    double value() const { return high_ + low_; }

private:
    double high_ = 0.0;
    double low_ = 0.0;
};

}  // namespace relaxon

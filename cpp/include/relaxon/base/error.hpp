// Exceptions of the core and the one helper that raises them.
#pragma once

#include <cstdint>
#include <new>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace relaxon {

// A value that breaks a rule; the text is "argument 'x': rule, got value".
class ArgumentError : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

// A memory budget below what the sweep needs; states the least that would do.
class BudgetError : public ArgumentError {
public:
    BudgetError(std::int64_t budget_bytes, std::int64_t minimum_bytes)
        : ArgumentError(text(budget_bytes, minimum_bytes)), minimum_bytes_(minimum_bytes) {}

    std::int64_t minimum_bytes() const { return minimum_bytes_; }

private:
    static std::string text(std::int64_t budget_bytes, std::int64_t minimum_bytes) {
        std::ostringstream message;
        message << "argument 'memory': this sweep needs at least " << minimum_bytes
                << " bytes, got " << budget_bytes << "; raise the budget or lower the batch size";
        return message.str();
    }

    std::int64_t minimum_bytes_;
};

// More memory than there is; found out before a sweep starts.
class MemoryShortage : public std::bad_alloc {
public:
    MemoryShortage(std::int64_t needed_bytes, std::int64_t machine_bytes) {
        std::ostringstream message;
        message << "this sweep needs " << mebibytes(needed_bytes) << " MiB, more than the "
                << mebibytes(machine_bytes)
                << " MiB of this machine; bound it with the argument 'memory', or lower the batch "
                   "size";
        text_ = message.str();
    }

    const char* what() const noexcept override { return text_.c_str(); }

private:
    static std::int64_t mebibytes(std::int64_t n_bytes) { return n_bytes >> 20; }

    std::string text_;
};

// An equation of a network that does not solve.
class UnsolvedError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// That of an implicit layer.
class LayerError : public UnsolvedError {
public:
    LayerError(std::int64_t layer, std::int64_t sample, double residual, const std::string& reason)
        : UnsolvedError(text(layer, sample, residual, reason)), layer_(layer), sample_(sample),
          residual_(residual), reason_(reason) {}

    std::int64_t layer() const { return layer_; }
    std::int64_t sample() const { return sample_; }
    double residual() const { return residual_; }
    const std::string& reason() const { return reason_; }

private:
    static std::string text(std::int64_t layer, std::int64_t sample, double residual,
                            const std::string& reason) {
        std::ostringstream message;
        message << "layer " << layer << " does not solve for sample " << sample << ": " << reason
                << ", residual " << residual;
        return message.str();
    }

    std::int64_t layer_, sample_;
    double residual_;
    std::string reason_;
};

// An attractor that was not found, or at which there is no derivative.
class AttractorError : public UnsolvedError {
public:
    AttractorError(std::int64_t sample, double residual, const std::string& reason)
        : UnsolvedError(text(sample, residual, reason)), sample_(sample), residual_(residual) {}

    std::int64_t sample() const { return sample_; }
    double residual() const { return residual_; }

private:
    static std::string text(std::int64_t sample, double residual, const std::string& reason) {
        std::ostringstream message;
        message << "no attractor for sample " << sample << ": " << reason << ", residual "
                << residual;
        return message.str();
    }

    std::int64_t sample_;
    double residual_;
};

// The caller's stop function asked for an end; the bindings turn it into the pending exception.
class Interrupted : public std::runtime_error {
public:
    Interrupted() : std::runtime_error("interrupted") {}
};

template <class Value>
void require(bool holds, const char* argument, const char* rule, const Value& value) {
    if (holds) return;
    std::ostringstream message;
    message << "argument '" << argument << "': " << rule << ", got " << value;
    throw ArgumentError(message.str());
}

}  // namespace relaxon

// The rules of steps: what each of them keeps, how it takes a step, and the table from which
// everything else is made. Formulas stand in iterate.hpp, or here beside their rule.
#pragma once

#include <cstdint>
#include <string_view>

#include "relaxon/base/error.hpp"
#include "relaxon/training/iterate.hpp"

// Rule, name, what it is.
#define RELAXON_STEP_RULES(X)                                                                      \
    X(fixed, "fixed", FixedStep)                                                                   \
    X(adam, "adam", AdamStep)                                                                      \
    X(armijo, "armijo", SearchedStep)                                                              \
    X(barzilai_borwein, "barzilai-borwein", SearchedStep)                                          \
    X(external, "external", ExternalStep)

namespace relaxon {

// Numbers of the rules; each reads its own.
struct StepSettings {
    double momentum = 0.0;
    AdamDecay decay;
};

// What a rule is if it does not say otherwise. k counts steps from 1.
struct StepBase {
    static constexpr bool kIsSearch = false, kHasVelocity = false, kHasSquare = false;

    template <class T>
    static void take(Iterate<T>&, double, const StepSettings&, std::int64_t) {
        throw ArgumentError("argument 'rule': expected one that takes steps of a given length");
    }
};

struct FixedStep : StepBase {
    static constexpr bool kHasVelocity = true;

    template <class T>
    static void take(Iterate<T>& it, double factor, const StepSettings& settings, std::int64_t) {
        take_fixed_step(it, factor, settings.momentum);
    }
};

struct AdamStep : StepBase {
    static constexpr bool kHasVelocity = true, kHasSquare = true;

    template <class T>
    static void take(Iterate<T>& it, double factor, const StepSettings& settings, std::int64_t k) {
        take_adam_step(it, factor, settings.decay, k);
    }
};

// The descent takes gradient steps until one is short enough.
struct SearchedStep : StepBase {
    static constexpr bool kIsSearch = true;
};

// The caller takes them.
struct ExternalStep : StepBase {};

enum class StepRule {
#define RELAXON_ENTRY(rule, name, Step) rule,
    RELAXON_STEP_RULES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

inline constexpr StepRule kStepRules[] = {
#define RELAXON_ENTRY(rule, name, Step) StepRule::rule,
    RELAXON_STEP_RULES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
};

struct StepTraits {
    const char* name;
    bool is_search, has_velocity, has_square;
};

inline StepTraits traits_of(StepRule rule) {
    switch (rule) {
#define RELAXON_ENTRY(rule, name, Step)                                                            \
    case StepRule::rule:                                                                           \
        return {name, Step::kIsSearch, Step::kHasVelocity, Step::kHasSquare};
        RELAXON_STEP_RULES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    throw ArgumentError("argument 'rule': expected one of the table");
}

// The rule of that name; false, and rule untouched, where there is none.
inline bool parse(std::string_view text, StepRule& rule) {
    for (const StepRule candidate : kStepRules) {
        if (traits_of(candidate).name == text) {
            rule = candidate;
            return true;
        }
    }
    return false;
}

// Step k of a rule that is given its length.
template <class T>
void take_step(StepRule rule, Iterate<T>& iterate, double factor, const StepSettings& settings,
               std::int64_t k) {
    switch (rule) {
#define RELAXON_ENTRY(rule, name, Step)                                                            \
    case StepRule::rule:                                                                           \
        return Step::take(iterate, factor, settings, k);
        RELAXON_STEP_RULES(RELAXON_ENTRY)
#undef RELAXON_ENTRY
    }
    throw ArgumentError("argument 'rule': expected one of the table");
}

}  // namespace relaxon

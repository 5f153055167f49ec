#include "backend/cpu/isa.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/error.h"

namespace internvl {
namespace cpu {
namespace {

struct Choice {
  std::string_view name;
  const Kernels& (*kernels)();
  bool available;
};

// __builtin_cpu_supports also asks whether the operating system saves the registers.
std::vector<Choice> choices() {
  std::vector<Choice> result{{"generic", kernels_generic, true}};
#ifdef __x86_64__
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool avx512bf16 =
      avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
  result.push_back({"avx2", kernels_avx2, avx2});
  result.push_back({"avx512", kernels_avx512, avx512});
  result.push_back({"avx512bf16", kernels_avx512bf16, avx512bf16});
#endif
  return result;
}

std::string join(const std::vector<std::string_view>& names) {
  std::string result;
  for (std::string_view name : names) {
    if (!result.empty()) result += ", ";
    result += name;
  }
  return result;
}

}  // namespace

const Kernels& select_kernels(std::string_view isa) {
  std::string_view source = "isa";
  if (isa.empty()) {
    if (const char* forced = std::getenv("INTERNVL_NATIVE_ISA")) {
      isa = forced;
      source = "INTERNVL_NATIVE_ISA";
    }
  }
  if (isa.empty()) isa = cpu_isas().back();
  std::vector<std::string_view> known;
  for (const Choice& choice : choices()) {
    known.push_back(choice.name);
    if (choice.name != isa) continue;
    check(choice.available, source, ": this CPU lacks '", isa, "', it has ", join(cpu_isas()));
    return choice.kernels();
  }
  throw InvalidArgument(message(source, ": expected one of ", join(known), ", got '", isa, "'"));
}

}  // namespace cpu

std::vector<std::string_view> cpu_isas() {
  std::vector<std::string_view> names;
  for (const cpu::Choice& choice : cpu::choices()) {
    if (choice.available) names.push_back(choice.name);
  }
  return names;
}

}  // namespace internvl

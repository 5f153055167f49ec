#include "model/kv_cache.h"

#include <algorithm>
#include <atomic>

#include "backend/transfer.h"

namespace internvl {

std::shared_ptr<Buffer> KvCache::new_page() const {
  return std::make_shared<Buffer>(backend_->allocate(page_bytes()));
}

void KvCache::reserve(std::int64_t tokens) {
  const std::int64_t first_written = length_ / kKvPageTokens;
  const std::int64_t needed = (length_ + tokens + kKvPageTokens - 1) / kKvPageTokens;
  while (static_cast<std::int64_t>(pages_.size()) < needed) {
    pages_.push_back(new_page());
    addresses_.push_back(pages_.back()->data());
  }
  for (std::int64_t p = first_written; p < needed; ++p) {
    if (pages_[p].use_count() == 1) {
      std::atomic_thread_fence(std::memory_order_acquire);  // another thread may have let it go
      continue;
    }
    pages_[p] = length_ > p * kKvPageTokens
                    ? std::make_shared<Buffer>(duplicate(*backend_, *pages_[p]))
                    : new_page();
    addresses_[p] = pages_[p]->data();
  }
}

void KvCache::truncate(std::int64_t tokens) {
  length_ = std::min(length_, tokens);
  pages_.resize((length_ + kKvPageTokens - 1) / kKvPageTokens);
  addresses_.resize(pages_.size());
}

}  // namespace internvl

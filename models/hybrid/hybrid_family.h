#pragma once
#include "models/families.h"

namespace vigor {

ModelFamily hybrid_family();

}  // namespace vigor

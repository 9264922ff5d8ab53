// Registers every op and kernel when the library is loaded.
#include "op.h"

__attribute__((constructor)) static void RegisterAll() {
  tfstream::RegisterReadRecords();
  tfstream::RegisterFetchRecords();
  tfstream::RegisterEpochOrder();
  tfstream::RegisterBeginIteration();
  tfstream::RegisterCountWaiting();
  tfstream::RegisterResample();
}

// What pages do beyond showing what the server wrote. Without it, everything that is shown is there too.
"use strict";

// The address that `skylink console` prints holds the code behind `#`, where no server sees it: it is given to the form.
const signIn = document.querySelector("[data-sign-in]");
if (signIn && location.hash.length > 1) {
  signIn.elements.code.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  signIn.requestSubmit();
}

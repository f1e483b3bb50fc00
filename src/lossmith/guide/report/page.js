// The copy button: through the clipboard where a page may use it (not from a file in every browser), else by a selection.
for (const button of document.querySelectorAll(".code button")) {
  const code = button.parentElement.querySelector("code");
  const label = button.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = button.dataset.done;
    setTimeout(() => (button.textContent = label), 2000);
  });
}

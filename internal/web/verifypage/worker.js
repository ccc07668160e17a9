
// The worker: unpacks the judge, runs it on the files, and answers with its result. wasm_exec.js stands before this.
onmessage = async (e) => {
  try {
    const { judge, files, key } = e.data;
    const read = new FileReaderSync();
    const bytes = (f) => (f ? new Uint8Array(read.readAsArrayBuffer(f)) : null);
    const report = bytes(files.report);
    globalThis.mixtralInput = {
      report, reportName: files.report.name, recordName: files.record.name, recordSize: files.record.size,
      attestation: bytes(files.attestation), attestationName: files.attestation ? files.attestation.name : '',
      keys: bytes(files.keys), keysName: files.keys ? files.keys.name : '', key,
      // The record is read in pieces: it may be larger than what a browser likes to hold at once.
      piece: (from, to) => {
        postMessage({ read: files.record.size ? to / files.record.size : 1 });
        return new Uint8Array(read.readAsArrayBuffer(files.record.slice(from, to)));
      },
    };
    let answer = null;
    globalThis.mixtralAnswer = (json) => { answer = JSON.parse(json); };
    const unpacked = new Response(new Blob([judge]).stream().pipeThrough(new DecompressionStream('gzip')));
    const go = new Go();
    const { instance } = await WebAssembly.instantiate(await unpacked.arrayBuffer(), go.importObject);
    await go.run(instance);
    if (!answer) answer = { error: 'The judge stopped without an answer: the record is too large for this browser. mixtral report verify checks the same on a command line.' };
    if (answer.result) {
      try {
        answer.report = JSON.parse(new TextDecoder().decode(report));
      } catch {
        answer.report = {};
      }
    }
    postMessage(answer);
  } catch (err) {
    postMessage({ error: `The judge stopped: ${err && err.message}` });
  }
};

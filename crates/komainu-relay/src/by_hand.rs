//! What an operator does with a device: quarantine, reset, baseline. The guard may run meanwhile or not.

use komainu_model::{Appliance, ApplianceIndex};
use komainu_ports::ResetEnd;

use crate::examination::{self, BaselineOutcome, Case, ExaminationError, ExaminerConfig};
use crate::inventory::Inventory;
use crate::ledger::Ledger;
use crate::network;

/// An operator with rights.
#[derive(Debug)]
pub struct Operator {
    /// The devices, as they are loaded.
    pub inventory: Inventory,
    /// Who examines.
    pub examiner: ExaminerConfig,
}

impl Operator {
    /// Closes every way to and from a device. No reset that is under way opens them.
    pub fn quarantine(&self, device: ApplianceIndex) -> Result<(), ExaminationError> {
        let appliance = self.appliance(device);
        // First the note, so that nobody ends the quarantine; it is begun whether it can be noted or not.
        let noted = self.note(appliance);
        network::quarantine(appliance)?;
        noted
    }

    /// Ends a quarantine, if there is one.
    pub fn release(&self, device: ApplianceIndex) -> Result<(), ExaminationError> {
        let appliance = self.appliance(device);
        self.note(appliance)?;
        Ok(network::release(appliance)?)
    }

    /// Resets a device as after an incident, shows the steps, and ends its quarantine if all went well.
    pub async fn reset(&self, device: ApplianceIndex) -> Result<ResetEnd, ExaminationError> {
        examination::reset_by_hand(&self.examiner, &self.case(device)).await
    }

    /// Compares a device with its baseline, or makes one: when there is none, or `make_anew`.
    pub async fn baseline(&self, device: ApplianceIndex, make_anew: bool) -> Result<BaselineOutcome, ExaminationError> {
        let was_quarantined = network::quarantined(&self.inventory).contains(&device);
        examination::baseline_by_hand(&self.examiner, &self.case(device), was_quarantined, make_anew).await
    }

    fn note(&self, appliance: &Appliance) -> Result<(), ExaminationError> {
        let noted = Ledger::open(&self.examiner.data).and_then(|ledger| ledger.by_hand(&appliance.name));
        noted.map_err(|source| ExaminationError::File { path: self.examiner.data.join("resets"), source })
    }

    fn case(&self, device: ApplianceIndex) -> Case {
        let plan = self.inventory.reset(device).cloned().unwrap_or_default();
        Case { index: device, device: self.appliance(device).clone(), plan }
    }

    fn appliance(&self, device: ApplianceIndex) -> &Appliance {
        self.inventory.device(device).expect("the index was found in this inventory")
    }
}
